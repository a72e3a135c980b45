-- How many certificates that open a hub end on which day (UTC, days since 1970), and on which day three quarters of their life are
-- gone, which is when they are renewed on average. Kept by triggers, so that a forecast costs the same for every fleet.
CREATE TABLE certificate_ends (
  end_day INTEGER NOT NULL,
  renewal_day INTEGER NOT NULL,
  certificates INTEGER NOT NULL,
  PRIMARY KEY (end_day, renewal_day)
);

INSERT INTO certificate_ends (end_day, renewal_day, certificates)
SELECT not_after / 86400, (not_before + (not_after - not_before) * 3 / 4) / 86400, COUNT(*)
FROM certificates WHERE binding IN ('pending', 'active') AND revoked_at IS NULL
GROUP BY 1, 2;

CREATE TRIGGER certificate_begins AFTER INSERT ON certificates
WHEN NEW.binding IN ('pending', 'active') AND NEW.revoked_at IS NULL
BEGIN
  INSERT INTO certificate_ends (end_day, renewal_day, certificates)
  VALUES (NEW.not_after / 86400, (NEW.not_before + (NEW.not_after - NEW.not_before) * 3 / 4) / 86400, 1)
  ON CONFLICT (end_day, renewal_day) DO UPDATE SET certificates = certificates + 1;
END;

CREATE TRIGGER certificate_opens AFTER UPDATE OF binding, revoked_at ON certificates
WHEN NEW.binding IN ('pending', 'active') AND NEW.revoked_at IS NULL
  AND NOT (COALESCE(OLD.binding, '') IN ('pending', 'active') AND OLD.revoked_at IS NULL)
BEGIN
  INSERT INTO certificate_ends (end_day, renewal_day, certificates)
  VALUES (NEW.not_after / 86400, (NEW.not_before + (NEW.not_after - NEW.not_before) * 3 / 4) / 86400, 1)
  ON CONFLICT (end_day, renewal_day) DO UPDATE SET certificates = certificates + 1;
END;

CREATE TRIGGER certificate_closes AFTER UPDATE OF binding, revoked_at ON certificates
WHEN OLD.binding IN ('pending', 'active') AND OLD.revoked_at IS NULL
  AND NOT (COALESCE(NEW.binding, '') IN ('pending', 'active') AND NEW.revoked_at IS NULL)
BEGIN
  UPDATE certificate_ends SET certificates = certificates - 1
  WHERE end_day = OLD.not_after / 86400
    AND renewal_day = (OLD.not_before + (OLD.not_after - OLD.not_before) * 3 / 4) / 86400;
END;

-- What was signed and serves nobody: seldom any row.
CREATE INDEX certificates_unbound ON certificates (id) WHERE binding IS NULL;
CREATE INDEX log_leaves_unknown ON log_leaves (id) WHERE kind = 2;

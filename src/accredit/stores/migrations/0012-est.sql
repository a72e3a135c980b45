-- Over EST the same call is sent again until it has its outcome: the newest operation of a registration tells it.
CREATE INDEX operations_by_registration ON operations (registration_key, created_at);

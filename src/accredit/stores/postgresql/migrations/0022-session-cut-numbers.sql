-- Numbers in the order of commits: whoever has read one has read all before it. (An identity column counts in no such order.)
INSERT INTO epochs (name, epoch) VALUES ('cuts', 0);

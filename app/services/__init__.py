"""The rules: every write to the database goes through here."""

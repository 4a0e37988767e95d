"""The only modules that build SELECTs for showing; they return the models of app/schemas.py."""

"""The web application: it recognises digits and shows runs."""

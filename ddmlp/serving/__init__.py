"""HTTP: a web application that recognises digits and shows runs."""

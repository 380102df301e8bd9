"""An audit as verdict, text, JSON, picture and page."""

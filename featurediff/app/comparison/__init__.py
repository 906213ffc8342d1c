"""What the comparison is made of; `featurediff/app/compare.py` puts it on the screen."""

"""What the dashboard is made of; `streamlit_app.py` puts it on the screen."""

"""What Streamlit is told about limits and looks, for `featurediff app`: the same as in `.streamlit/config.toml`."""

from __future__ import annotations

from collections.abc import Mapping

CONFIG: Mapping[str, object] = {
    "browser.gatherUsageStats": False,
    "runner.magicEnabled": False,
    "runner.postScriptGC": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "server.folderWatchBlacklist": [".git", ".venv"],
    "server.maxUploadSize": 64,
    "server.showEmailPrompt": False,
    "theme.font": "sans-serif",
    "theme.baseFontSize": 15,
    "theme.baseRadius": "0.375rem",
    "theme.headingFontSizes": ["1.75rem", "1rem", "1rem", "1rem", "1rem", "1rem"],
    "theme.headingFontWeights": [600, 600, 600, 600, 600, 600],
    "theme.showSidebarBorder": True,
    "theme.light.primaryColor": "#0b6bcb",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f2f5f8",
    "theme.light.textColor": "#0b141c",
    "theme.light.linkColor": "#0b6bcb",
    "theme.light.borderColor": "#828996",
    "theme.light.dataframeBorderColor": "#d5dce4",
    "theme.light.sidebar.backgroundColor": "#f7f9fb",
    "theme.light.sidebar.secondaryBackgroundColor": "#ffffff",
    "theme.dark.primaryColor": "#3f8cf0",
    "theme.dark.backgroundColor": "#12171d",
    "theme.dark.secondaryBackgroundColor": "#1c232c",
    "theme.dark.textColor": "#e4e9ef",
    "theme.dark.linkColor": "#6cb2ff",
    "theme.dark.borderColor": "#66727f",
    "theme.dark.dataframeBorderColor": "#36424f",
    "theme.dark.sidebar.backgroundColor": "#0d1116",
    "theme.dark.sidebar.secondaryBackgroundColor": "#181e26",
}
"""Streamlit’s name of an option → its value; the reasons stand in the file, and a test holds both to be the same."""

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses at which only this machine can open the dashboard."""

MAX_UPLOAD_ALONE = 500
"""
MB of an upload where only this machine can open the dashboard. An SAE of a million features, read at five token
positions, is about 250 MB.
"""

"""From a bundle to trusted numbers: devices, runners, sessions, statistics, reports."""

"""Dosimeter's server: experiments, leaderboards and galleries. Never imports torch."""

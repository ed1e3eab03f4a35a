"""The adapters: Cloud Run, Cloud Monitoring, HTTP checks, the clock. No decision is made here."""

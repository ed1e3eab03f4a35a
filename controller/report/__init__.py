"""What people see afterwards. Pure renderers: text in, text out; writing it is the CLI's."""

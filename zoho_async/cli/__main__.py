"""``python -m zoho_async.cli`` is ``zoho-async``."""

from zoho_async.cli import main

if __name__ == "__main__":
    main()

"""`python -m gpt` is the command `gpt`."""

from gpt.cli import main

if __name__ == "__main__":
    main()

"""The subcommands of `gpt`, one function each: what they do with their arguments, and print."""

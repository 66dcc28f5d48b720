"""``python -m sandboxkit.cli``, for where the script is not on the PATH."""

from sandboxkit.cli.entry import main

if __name__ == "__main__":
    main()

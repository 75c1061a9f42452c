"""What stands behind `byoc-nb`: each module adds the subcommands of one subject.

`add_commands(command)` of each gets a function that makes a subcommand of a name, of what it runs, and of its help.
What runs gets the parsed options and gives the exit status (None is 0), at once or from a coroutine.
"""

"""`python -m prol2tp.daemons.scriptd [options]`: the console script, where it is not installed."""

from prol2tp.daemons.launch import scriptd

if __name__ == "__main__":
    scriptd()

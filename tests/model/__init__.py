"""Random stacks, random edits, and what must hold after each sync whatever came before (contract, section 7).

    stack.py     what a person has written, as numbers, and as files        edits.py     what may happen to a workspace
    servers.py   a real registry and real repositories                      hsm.py       a command line, here or killed
    oracle.py    what each step depends on, told without hsm's own code     sequence.py  one story, and the checks
"""

"""Random stacks, random edits, and what must hold after each sync whatever came before (contract, section 7).

    stack.py     what a person has written, as numbers        files.py     and as files
    edits.py     what may happen to a workspace               generate.py  at random
    servers.py   a real registry and real repositories        hsm.py       a command line: here, or killed on its way
    oracle.py    what a step depends on, by the contract      sequence.py  one story: which steps ran
    promises.py  what holds after each sync                   foretold.py  what `plan` says, against what happens
    run.py       many stories                                 words.py     switch words
"""

"""hsm: a docker compose stack that can be re-arranged.

    hsm.yaml ─ load ▶ Stack ─ choose ▶ Chosen ─ render ▶ drafts ─ plan ▶ steps ─ tasks ▶ doit graph ─▶ perform(step)

Read in this order: dodo.py, core/model.py (the nouns), core/steps.py (the kinds of step), core/plan.py (how a stack
becomes steps), steps/tasks.py (how a step becomes a doit task), steps/actions.py (what each step does to the world).
Then core/choose.py and core/render.py for what the override says, core/load.py for what hsm.yaml may say, and a module
of effects/ for a tool.

    door ▶ cli ▶ meaning ▶ steps ▶ stack ▶ run, screen ▶ effects ▶ core       imports go one way, to the right
                 look, ship, aside: questions, other machines, and what needs no stack
"""

__version__ = "0.1.0"
BUG = "This is a bug in hsm. Please report it, with the lines above, to the people you have hsm from."
"""What stands below a traceback."""

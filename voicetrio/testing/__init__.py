"""The public test kit: simulations, faults, services that follow a script, leak checks.

* ``simulation``: ``simulate(scenario, seed)``, under virtual time, with a trace that a seed gives again.
* ``every_step``: cutting a scenario short before each of its task steps.
* ``leaks`` and ``tree``: what was left behind, and where every task waits.
* ``faults``: stages, peers, services and networks that misbehave.
* ``plans``, ``operations``, ``behaviours``, ``graphs``: whole scenarios as values; ``strategies`` draws them.
* ``scripted``: recogniser, language model, voice and voice activity that follow a script.
* ``plugin``: the fixtures and options for pytest.

``docs/testing.md`` shows how they are used.
"""

"""Faults on purpose: stages, peers, services and networks that misbehave in one known way each.

* ``faults.stages``: stages for pipelines and behaviours.
* ``faults.peers``: peers of a session, at the seam of the transport: exact under virtual time.
* ``faults.sockets``: WebSocket peers on real sockets, from a refused upgrade to a torn frame.
* ``faults.services``: recognisers, models and voices that hang or fail at the n-th call.
* ``faults.proxy``: a TCP proxy that delays, throttles, stalls and resets.
"""

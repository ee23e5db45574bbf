"""What no schema says of the relay's API: which ids are whose. See ../tests/scenarios/api/fuzzer.rs."""

import itertools
import os

import schemathesis
from schemathesis.core.parameters import ParameterLocation

OWN = os.environ["OWN_WORKSPACE"]
AGENT = os.environ["AGENT_WORKSPACE"]
turns = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets half of the well-formed calls name what is there, and messages an agent that is online."""
    label = case.operation.label
    if label == "DELETE /workspaces/{id}":
        # What the fuzzer made itself may go.
        if case.path_parameters.get("id") == OWN:
            case.path_parameters["id"] = "nobody"
    elif label == "POST /workspaces":
        # A parent that is not there is refused.
        if fits(case, ParameterLocation.BODY) and isinstance(case.body, dict):
            case.body.pop("parent_id", None)
    elif label == "POST /a2a":
        if fits(case, ParameterLocation.HEADER):
            case.headers["X-Workspace-ID"] = AGENT
    elif "id" in case.path_parameters and fits(case, ParameterLocation.PATH):
        if label.endswith("/a2a"):
            case.path_parameters["id"] = AGENT
        elif next(turns) % 2 == 0:
            case.path_parameters["id"] = OWN


def fits(case, location):
    """Whether this part of a call was meant to be as the description has it."""
    return case.meta is not None and not case.meta.is_negative_at(location)

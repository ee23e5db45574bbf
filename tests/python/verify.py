"""Verifies the signature of the card at a URL with the official A2A SDK.

Finds the key where the signature says that it is. Prints, as one JSON object, that place, how many
signatures there are, whether one is valid, and whether one still is when the card has been changed.
"""

import json
import sys

import httpx
import jwt
from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import SignatureVerificationError, create_signature_verifier


def main(url):
    card = parse_agent_card(httpx.get(url).json())
    seen = {"signatures": len(card.signatures)}

    def key(kid, jku):
        seen["jku"] = jku
        keys = jwt.PyJWKSet.from_dict(httpx.get(jku).json())
        return keys[kid]

    verify = create_signature_verifier(key, ["ES256"])

    def is_valid():
        try:
            verify(card)
            return True
        except SignatureVerificationError:
            return False

    seen["valid"] = is_valid()
    card.supported_interfaces[0].url += "x"
    seen["changed"] = is_valid()
    print(json.dumps(seen))


main(sys.argv[1])

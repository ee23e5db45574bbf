"""Leads every name below `.test` to loopback, as an operator's DNS leads the names of agents to the relay."""

import socket
import ssl

import grpc

LOOPBACK = "127.0.0.1"


def is_ours(name):
    return name.endswith(".test")


def resolve():
    """Has this process look such names up so."""
    ask = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        return ask(LOOPBACK if name and is_ours(name) else host, *args, **kwargs)

    socket.getaddrinfo = look_up


def verify(ca):
    """What a client over HTTP is told of certificates, given the only root that it trusts, or none."""
    return ssl.create_default_context(cafile=ca) if ca else True


def dial(ca):
    """Makes channels to where cards say, under the name that they say, with or without TLS."""

    def channel(url):
        authority = url.rpartition("://")[2]
        name, _, port = authority.rpartition(":")
        target = f"ipv4:{LOOPBACK if is_ours(name) else name}:{port}"
        options = [
            ("grpc.default_authority", authority), ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if not ca:
            return grpc.aio.insecure_channel(target, options=options)
        with open(ca, "rb") as file:
            roots = grpc.ssl_channel_credentials(file.read())
        # The name that the certificate must have.
        options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(target, roots, options=options)

    return channel

#!/usr/bin/env python3
"""What the Python client sees of a cluster, one line of JSON each: the same through weir.

  client.py KUBECONFIG NAMESPACE PORT

NAMESPACE has a running pod `web`; behind PORT of the node somebody says `hello from the pod`.
"""
import json
import sys
import threading
import time

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

place, space, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
config.load_kube_config(place)
core = client.CoreV1Api()
leases = client.CoordinationV1Api()


def say(what, *facts):
    print(json.dumps([what, *facts]), flush=True)


def named(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def fails(what, call):
    try:
        call()
        say(what, "no failure")
    except ApiException as failure:
        body = json.loads(failure.body)
        say(what, failure.status, body["reason"], body["message"])


def objects():
    for number in range(3):
        core.create_namespaced_config_map(space, named(f"py-{number}", a=str(number)))
    first = core.list_namespaced_config_map(space, limit=2, label_selector="!x")
    more = core.list_namespaced_config_map(space, limit=9, _continue=first.metadata._continue,
                                           label_selector="!x")
    names = [it.metadata.name for it in first.items + more.items]
    say("pages", len(first.items), [name for name in names if name.startswith("py-")])
    patched = core.patch_namespaced_config_map("py-0", space, {"data": {"b": "patched"}})
    say("patched", patched.data)
    fails("missing", lambda: core.read_namespaced_config_map("nothing", space))
    fails("again", lambda: core.create_namespaced_config_map(space, named("py-0")))
    fails("invalid", lambda: core.create_namespaced_config_map(space, named("Bad_Name")))
    say("log", core.read_namespaced_pod_log("web", space))


def watching():
    at = core.list_namespaced_config_map(space).metadata.resource_version

    def change():
        time.sleep(0.5)
        core.patch_namespaced_config_map("py-1", space, {"data": {"a": "changed"}})
        core.create_namespaced_config_map(space, named("py-new"))
        core.delete_namespaced_config_map("py-new", space)

    thread = threading.Thread(target=change)
    thread.start()
    events = watch.Watch().stream(core.list_namespaced_config_map, space, resource_version=at,
                                  timeout_seconds=30)
    for event in events:
        say("event", event["type"], event["object"].metadata.name, event["object"].data)
        if event["type"] == "DELETED":
            break
    thread.join()


def commands():
    shell = ["sh", "-c", "read line; echo got $line; echo wrong >&2; exit 3"]
    run = stream(core.connect_get_namespaced_pod_exec, "web", space, command=shell, stdin=True,
                 stdout=True, stderr=True, tty=False, _preload_content=False)
    run.write_stdin("typed\n")
    run.run_forever(timeout=20)
    say("exec", run.read_stdout(), run.read_stderr(), run.returncode)
    told = stream(core.connect_get_namespaced_pod_exec, "web", space, command=["echo", "whole"],
                  stdin=False, stdout=True, stderr=True, tty=False)
    say("exec whole", told)
    large = stream(core.connect_get_namespaced_pod_exec, "web", space, stdin=False, stdout=True,
                   stderr=True, tty=False, command=["sh", "-c", "seq 1 100000"])
    say("exec large", len(large), large[-7:])
    terminal = stream(core.connect_get_namespaced_pod_exec, "web", space, stdin=True, stdout=True,
                      stderr=False, tty=True, command=["sh", "-c", "stty size"],
                      _preload_content=False)
    terminal.run_forever(timeout=20)
    say("exec tty", terminal.returncode)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", space,
                          ports=str(port))
    socket = forward.socket(port)
    socket.setblocking(True)
    got = b""
    while len(got) < 19:
        got += socket.recv(100)
    say("forward", got.decode(), forward.error(port))


def lease():
    spec = client.V1LeaseSpec(holder_identity="one", lease_duration_seconds=15)
    meta = client.V1ObjectMeta(name="py-lease")
    made = leases.create_namespaced_lease(space, client.V1Lease(metadata=meta, spec=spec))
    made.spec.holder_identity = "two"
    held = leases.replace_namespaced_lease("py-lease", space, made)
    say("lease", held.spec.holder_identity)
    # What somebody else holds by now.
    try:
        leases.replace_namespaced_lease("py-lease", space, made)
    except ApiException as failure:
        say("lease lost", failure.status, json.loads(failure.body)["reason"])
    leases.delete_namespaced_lease("py-lease", space)


objects()
watching()
commands()
lease()
deleted = core.delete_collection_namespaced_config_map(space, field_selector="metadata.name!=kube-root-ca.crt")
say("deleted", type(deleted).__name__)
left = core.list_namespaced_config_map(space).items
say("left", [it.metadata.name for it in left if it.metadata.name != "kube-root-ca.crt"])

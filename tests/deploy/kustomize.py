#!/usr/bin/python3
"""What `kubectl kustomize FOLDER` prints, for the little of kustomize that deploy/kubernetes uses: CI has no kubectl.

Anything else in a kustomization is an error, so that nothing is passed over in silence.
"""

import copy
import pathlib
import sys

import yaml

KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "components", "images", "patches"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def step(value, key):
    return value[int(key)] if isinstance(value, list) else value[key]


def apply_json6902(document, operations):
    for operation in operations:
        *parents, last = operation["path"].lstrip("/").split("/")
        place = document
        for key in parents:
            place = step(place, key)
        if operation["op"] == "replace":
            step(place, last)
        elif operation["op"] != "add":
            raise ValueError(f"unknown operation: {operation}")
        if isinstance(place, dict):
            place[last] = copy.deepcopy(operation["value"])
        elif last == "-":
            place.append(copy.deepcopy(operation["value"]))
        else:
            place[int(last)] = copy.deepcopy(operation["value"])


def merge(base, patch):
    """A strategic merge: lists of things with names are merged by name, others are replaced."""
    for key, value in patch.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merge(old, value)
        elif isinstance(old, list) and all(isinstance(item, dict) and "name" in item for item in old + value):
            by_name = {item["name"]: item for item in old}
            for item in value:
                if item["name"] in by_name:
                    merge(by_name[item["name"]], item)
                else:
                    old.append(item)
        else:
            base[key] = value


def patch_all(found, folder, patch):
    target = patch.get("target")
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
    content = yaml.safe_load(text)
    if target is None:
        target = {"kind": content["kind"], "name": content["metadata"]["name"]}
    chosen = [document for document in found if document["kind"] == target["kind"] and
              document["metadata"]["name"] == target["name"]]
    if len(chosen) != 1:
        raise ValueError(f"{folder}: {len(chosen)} documents are {target}")
    if isinstance(content, list):
        apply_json6902(chosen[0], content)
    else:
        merge(chosen[0], content)


def set_images(found, images):
    for document in found:
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            for image in images:
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"


def apply(found, folder):
    """Applies the kustomization of `folder` to the documents, in place, after adding its resources."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if set(kustomization) - KNOWN:
        raise ValueError(f"{folder}: unknown here: {set(kustomization) - KNOWN}")
    own = []
    for name in kustomization.get("resources", []):
        path = (folder / name).resolve()
        own += build(path) if path.is_dir() else documents(path)
    found += own
    for name in kustomization.get("components", []):
        apply(found, (folder / name).resolve())
    for document in found:
        if "namespace" in kustomization and document["kind"] != "Namespace":
            document["metadata"]["namespace"] = kustomization["namespace"]
        for labels in kustomization.get("labels", []):
            document["metadata"].setdefault("labels", {}).update(labels["pairs"])
    for patch in kustomization.get("patches", []):
        patch_all(found, folder, patch)
    set_images(found, kustomization.get("images", []))


def build(folder):
    found = []
    apply(found, pathlib.Path(folder))
    return found


if __name__ == "__main__":
    yaml.safe_dump_all(build(sys.argv[1]), sys.stdout, sort_keys=False)

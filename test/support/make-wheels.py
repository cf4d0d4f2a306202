"""Writes hand-made Python packages. Arguments: a folder, and the packages as JSON (see python-index.ts)."""

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile


def metadata_of(package):
    lines = ["Metadata-Version: 2.1", f"Name: {package['name']}", f"Version: {package['version']}"]
    if "requires_python" in package:
        lines.append(f"Requires-Python: {package['requires_python']}")
    lines += [f"Requires-Dist: {each}" for each in package.get("requires", [])]
    return "\n".join(lines) + "\n"


def write_wheel(folder, package):
    name = package["name"].replace("-", "_")
    info = f"{name}-{package['version']}.dist-info"
    files = dict(package.get("files", {}))
    files[f"{info}/METADATA"] = metadata_of(package)
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = package.get("scripts", {})
    if scripts:
        lines = [f"{script} = {called}" for script, called in scripts.items()]
        files[f"{info}/entry_points.txt"] = "[console_scripts]\n" + "\n".join(lines) + "\n"
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(os.path.join(folder, f"{name}-{package['version']}-py3-none-any.whl"), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def write_sources(folder, package):
    name = package["name"].replace("-", "_")
    top = f"{name}-{package['version']}"
    files = {"PKG-INFO": metadata_of(package), "pyproject.toml": package["pyproject"], **package.get("files", {})}
    with tarfile.open(os.path.join(folder, f"{top}.tar.gz"), "w:gz") as sources:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{path}")
            entry.size = len(text.encode())
            sources.addfile(entry, io.BytesIO(text.encode()))


for each in json.loads(sys.argv[2]):
    (write_sources if "pyproject" in each else write_wheel)(sys.argv[1], each)

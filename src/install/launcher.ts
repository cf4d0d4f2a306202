/**
 * The text of a launcher: a Python script that stands in `bin` beside the folder `site`, and calls a console script of a
 * package in it. The packages come first, so that the image's own are not taken instead; child processes see them too.
 * Python also runs it, under another name, in the processes that multiprocessing starts: those call nothing.
 *
 * `script`: its name. `module` and `attributes`: names with dots.
 */
export const launcherOf = (script: string, module: string, attributes: string): string => `import importlib
import os
import site
import sys

packages = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "site")
others = [path for path in sys.path if os.path.realpath(path or ".") != os.path.dirname(os.path.realpath(__file__))]
sys.path[:] = []
site.addsitedir(packages)
sys.path[:] = sys.path + [path for path in others if path not in sys.path]
earlier = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", packages)]
os.environ["PYTHONPATH"] = os.pathsep.join([packages] + earlier)

if __name__ == "__main__":
    sys.argv[0] = os.path.join(packages, "bin", ${JSON.stringify(script)})
    program = importlib.import_module(${JSON.stringify(module)})
    for name in ${JSON.stringify(attributes)}.split("."):
        program = getattr(program, name)
    sys.exit(program())
`

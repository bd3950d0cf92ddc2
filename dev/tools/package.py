"""Makes what somebody without Go can deploy of what make build has built. Run by make package:

    package.py BUILT DIST      DIST/extend-intake-VERSION-ARCHITECTURE.zip, with the template,
                               a zip of each function, the example of parameters, the licence
                               and how to deploy

The same build gives the same bytes: entries are sorted, and have no time of their own."""

import pathlib
import re
import sys
import zipfile

INSTRUCTIONS = """Extend Intake {version}, for {architecture}

To deploy it, you need version 2 of the AWS CLI, credentials in your shell, and a bucket of yours
in the region of the stack:

  aws cloudformation package --template-file template.yaml --s3-bucket BUCKET --output-template-file packaged.yaml
  aws cloudformation deploy --template-file packaged.yaml --s3-bucket BUCKET --stack-name extend-intake --capabilities CAPABILITY_IAM \\
    --tags extend-intake-version={version} --parameter-overrides ProcessorId=dp_...

or the SAM CLI, which asks for everything:

  sam deploy --guided --template-file template.yaml

README.md says what to do next. To upgrade, do the same with a newer package.
"""


def entry(name, mode=0o644):
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = (0o100000 | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, wherever this runs: else Lambda does not see that it can be executed
    return info


def main(built, dist):
    template = (built / "template.yaml").read_text(encoding="utf-8")
    version = re.search(r"(?m)^    SemanticVersion: '?([\w.+-]+)'?$", template)[1]
    architecture = re.search(r"(?m)^  Architecture:\n(?:    .*\n)*?    Default: (\w+)\n", template)[1]
    functions = re.findall(r"(?m)^      CodeUri: (\w+)$", template)
    if len(functions) != 4:
        sys.exit(f"package: the built template has {len(functions)} functions whose code is beside it, not 4")
    template = re.sub(r"(?m)^(      CodeUri: \w+)$", r"\1.zip", template)
    template = re.sub(r"(?m)^(    (?:LicenseUrl|ReadmeUrl): ).*?([\w.]+)$", r"\1\2", template)
    name = f"extend-intake-{version}-{architecture}"
    files = {
        "template.yaml": template.encode(),
        "DEPLOY.txt": INSTRUCTIONS.format(version=version, architecture=architecture).encode(),
    }
    for path in ("README.md", "LICENSE", "parameters/example.yaml", *sorted(map(str, pathlib.Path("docs").glob("*.md")))):
        files[path] = pathlib.Path(path).read_bytes()
    try:
        dist.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        sys.exit(f"package: DIST={dist} is no directory, and cannot be made one: {err.strerror}")
    with zipfile.ZipFile(dist / f"{name}.zip", "w") as package:
        for path in sorted(files):
            package.writestr(entry(f"{name}/{path}"), files[path])
        for function in sorted(functions):
            with package.open(entry(f"{name}/{function}.zip"), "w") as inner:
                with zipfile.ZipFile(inner, "w") as code:
                    code.writestr(entry("bootstrap", 0o755), (built / function / "bootstrap").read_bytes())
    print(dist / f"{name}.zip")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))

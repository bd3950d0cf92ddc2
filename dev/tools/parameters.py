"""Reads the parameters of a deployment, checks them, and writes all of them into one file
for sam build and sam deploy, so that both have the same ones. Run by make build:

    parameters.py write ENVIRONMENT PARAMETERS    parameters/ENVIRONMENT.yaml, and on top of
                                                  it what make's command line says
    parameters.py tags ENVIRONMENT                prints the tags of samconfig.toml, and the version
    parameters.py narrow BUILT_TEMPLATE           lets the built template be deployed only
                                                  for the architecture that it was built for

With a file, a parameter that it does not have gets the template's default. Without one,
sam deploy leaves the parameters that are not named as they are. SAM itself drops names
that it does not know, and reads 2.10 as 2.1: such mistakes, and values that the template
does not allow, end this program before anything is built."""

import json
import pathlib
import re
import struct
import sys

import click
import tomlkit
from ruamel.yaml import YAML
from samcli.cli.types import CfnParameterOverridesType

OUT = pathlib.Path(".aws-sam/parameters.yaml")
ARCHITECTURES = {0x3E: "x86_64", 0xB7: "arm64"}  # e_machine of an ELF file


def template_parameters():
    yaml = YAML()  # not the safe one, which does not know CloudFormation's tags
    return yaml.load(pathlib.Path("template.yaml").read_text(encoding="utf-8"))["Parameters"]


def read_file(path, problems):
    """The file's values as text, and the mistakes that only the file shows. Not by SAM's
    own reading, which takes backslashes out of JSON."""
    try:
        raw = YAML().load(path.read_text(encoding="utf-8"))
    except Exception as err:  # every kind that the parser has
        problems.append(f"it is not YAML: {err}")
        return {}
    if raw is not None and not isinstance(raw, dict):
        problems.append("it must have lines such as: ProcessorId: dp_…")
        return {}
    values = {}
    for name, value in (raw or {}).items():
        if isinstance(value, bool):
            problems.append(f'{name} is {str(value).lower()}: YAML reads that as a truth value. Put it in quotes: "{str(value).lower()}"')
        elif isinstance(value, float) and template_parameters().get(name, {}).get("Type") == "String":
            problems.append(f'{name} is {value}: YAML reads that as a number, and 2.10 as 2.1. Put it in quotes')
        elif isinstance(value, dict) or isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
            problems.append(f"{name} must be text. Put | after the colon, and the JSON on the lines below, indented")
        else:
            values[str(name)] = ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return values


def from_command_line(text, problems):
    """NAME=VALUE …, as SAM reads it. What it does not understand it leaves out, such as the
    rest of a JSON value without quotes after its first space."""
    rest = " " + text
    for pattern in CfnParameterOverridesType.ordered_pattern_match:
        rest = re.sub(pattern, "", rest)
    if rest.strip():
        problems.append(f"SAM would not read {rest.strip()!r} of PARAMETERS: put quotes around a value that is empty or has spaces or quotes in it, or use the file")
        return {}
    try:
        return CfnParameterOverridesType().convert(text, None, None)
    except click.UsageError as err:
        problems.append(err.format_message())
        return {}


def check(name, value, parameter):
    """What is wrong with a value, or None. The template says the rule in its own words."""
    if "AllowedValues" in parameter:
        allowed = [str(v) for v in parameter["AllowedValues"]]
        return None if value in allowed else f"{name} is {value!r}: it must be one of {', '.join(allowed)}"
    if parameter["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return f"{name} is {value!r}: it must be a number"
        low, high = parameter["MinValue"], parameter["MaxValue"]
        return None if low <= number <= high else f"{name} is {value}: it must be between {low} and {high}"
    if not re.search(parameter.get("AllowedPattern", ""), value):
        return f"{name} is {value!r}: it {parameter.get('ConstraintDescription', 'must match ' + parameter['AllowedPattern'])}"
    size = len(value.encode())  # not characters: the limits are those of a function's environment
    if size > parameter.get("MaxLength", 4096):
        return f"{name} has {size} bytes: it can have {parameter.get('MaxLength', 4096)}"
    return None


def quoted(value):
    """A value that SAM reads back as it is. It takes a pair of quotes away, and backslashes
    before spaces and quotes, and of what is in a file it does so twice."""
    for _ in range(2):
        value = '"' + re.sub(r"\\(?=[ \"'])", r"\\\\", value) + '"'
    return json.dumps(value, ensure_ascii=False)


def write(environment, on_command_line):
    problems = []
    known = template_parameters()
    path = pathlib.Path("parameters") / f"{environment}.yaml"
    values, source = {}, "make's command line"
    if path.exists():
        source = f"{path}, and make's command line"
        values = {name: str(p["Default"]) for name, p in known.items()}
        values.update(read_file(path, problems))
    elif environment != "default" and not on_command_line:
        problems.append(f"there is no {path}: copy parameters/example.yaml")
    config = tomlkit.parse(pathlib.Path("samconfig.toml").read_text(encoding="utf-8")).unwrap()
    for command, settings in config.get(environment, {}).items():
        if "parameter_overrides" in settings.get("parameters", {}):
            problems.append(f"samconfig.toml has parameter_overrides under {environment}.{command}, which are not read: move them to {path}")
    if on_command_line.strip():
        values.update(from_command_line(on_command_line, problems))
    stack = config.get(environment, {}).get("global", {}).get("parameters", {}).get("stack_name", "")
    most = 56 if values.get("ExistingBucketName") else 72  # a rule and a queue are named after it
    if len(stack) > most:
        problems.append(f"samconfig.toml: stack_name {stack} has {len(stack)} characters: it can have {most}")
    values.setdefault("Architecture", str(known["Architecture"]["Default"]))  # what sam build takes
    for name, value in values.items():
        if name not in known:
            problems.append(f"{name} is no parameter of template.yaml")
        elif problem := check(name, value, known[name]):
            problems.append(problem)
    if problems:
        sys.exit(f"parameters ({source}):\n  " + "\n  ".join(problems))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("".join(f"{name}: {quoted(value)}\n" for name, value in values.items()), encoding="utf-8")


def tags(environment):
    """The stack's tags: options on the command line would replace those of samconfig.toml."""
    config = tomlkit.parse(pathlib.Path("samconfig.toml").read_text(encoding="utf-8")).unwrap()
    commands = config.get(environment, {})
    own = next((c["parameters"]["tags"] for c in (commands.get("deploy", {}), commands.get("global", {})) if "tags" in c.get("parameters", {})), "")
    if isinstance(own, dict):
        own = [f'"{name}"="{value}"' for name, value in own.items()]
    if isinstance(own, list):
        own = " ".join(own)
    template = pathlib.Path("template.yaml").read_text(encoding="utf-8")
    version = re.search(r"(?m)^    SemanticVersion: (\S+)", template)[1]
    print(f"{own} extend-intake-version={version}".strip())


def narrow(template):
    built = set()
    for program in pathlib.Path(template).parent.glob("*/bootstrap"):
        with program.open("rb") as file:
            built.add(ARCHITECTURES.get(struct.unpack_from("<H", file.read(20), 18)[0], "unknown"))
    if len(built) != 1:
        sys.exit(f"{template}: its functions are for {', '.join(sorted(built)) or 'nothing'}; build them again")
    architecture = built.pop()
    text = pathlib.Path(template).read_text(encoding="utf-8")
    text, n = re.subn(
        r"(?m)^(  Architecture:\n(?:    .*\n)*?)    Default: \w+\n    AllowedValues:\n(?:    - \w+\n)+",
        rf"\g<1>    Default: {architecture}\n    AllowedValues:\n    - {architecture}\n",
        text,
        count=1,
    )
    if n != 1:
        sys.exit(f"{template}: it has no parameter Architecture where it is looked for")
    pathlib.Path(template).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"] and len(sys.argv) == 4:
        write(*sys.argv[2:])
    elif sys.argv[1:2] == ["tags"] and len(sys.argv) == 3:
        tags(sys.argv[2])
    elif sys.argv[1:2] == ["narrow"] and len(sys.argv) == 3:
        narrow(sys.argv[2])
    else:
        sys.exit(__doc__)

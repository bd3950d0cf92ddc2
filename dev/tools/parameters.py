"""Reads the parameters of a deployment, checks them, and writes all of them into one file
for sam build and sam deploy, so that both have the same ones. Run by make:

    parameters.py write ENVIRONMENT PARAMETERS    parameters/ENVIRONMENT.yaml, and on top of
                                                  it what make's command line says
    parameters.py stack ENVIRONMENT               prints the stack's name, region and profile in
                                                  samconfig.toml, as arguments of dev/deployed
    parameters.py tags ENVIRONMENT                prints the tags of samconfig.toml, and the version
    parameters.py narrow BUILT_TEMPLATE           lets the built template be deployed only
                                                  for the architecture that it was built for

With a file, a parameter that it does not have gets the template's default. Without one,
sam deploy leaves the parameters that are not named as they are. SAM itself drops names
that it does not know, and reads 2.10 as 2.1: such mistakes, and values that the template
does not allow, end this program before anything is built."""

import difflib
import json
import pathlib
import re
import shlex
import struct
import sys

import click
import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from samcli.cli.types import CfnParameterOverridesType

OUT = pathlib.Path(".aws-sam/parameters.yaml")
ARCHITECTURES = {0x3E: "x86_64", 0xB7: "arm64"}  # e_machine of an ELF file
# The functions read these as floating-point numbers, or CloudWatch does; all others must be whole.
FRACTIONS = {"RequestsPerSecond", "FilesPerMinute", "CreditsPerHour"}


def template_parameters():
    yaml = YAML()  # not the safe one, which does not know CloudFormation's tags
    return yaml.load(pathlib.Path("template.yaml").read_text(encoding="utf-8"))["Parameters"]


def stop(problems, source):
    """Ends the program. What looks like a secret is not shown: logs of CI keep it."""
    text = f"parameters ({source}):\n  " + "\n  ".join(problems)
    sys.exit(re.sub(r"\b(sk|wss)_[A-Za-z0-9_-]+", r"\1_… (API keys and webhook secrets go into the secret ExtendSecretArn)", text))


def samconfig(environment):
    """The commands of an environment in samconfig.toml."""
    try:
        config = tomlkit.parse(pathlib.Path("samconfig.toml").read_text(encoding="utf-8")).unwrap()
    except Exception as err:  # every kind that the parser has
        sys.exit(f"samconfig.toml cannot be read: {err}")
    commands = {name: c for name, c in config.items() if isinstance(c, dict)}
    if environment not in commands:
        sys.exit(f"samconfig.toml has no environment {environment!r}: it has {', '.join(commands)}. Add [{environment}.global.parameters] and [{environment}.deploy.parameters], or name one of those")
    return commands[environment]


def deploy_setting(commands, name):
    """What samconfig.toml says for sam deploy."""
    return next((c["parameters"][name] for c in (commands.get("deploy", {}), commands.get("global", {})) if name in c.get("parameters", {})), "")


def read_file(path, problems):
    """The file's values as they are written: YAML itself reads 2.10, 010, 1e3 and yes as
    something else, and SAM takes backslashes out of JSON."""
    try:
        root = YAML().compose(path.read_text(encoding="utf-8-sig"))
    except Exception as err:  # every kind that the parser has
        problems.append(f"{path} cannot be read: {err}")
        return {}
    if root is None:
        return {}
    if not isinstance(root, MappingNode):
        problems.append(f"{path} must have lines such as: ProcessorId: dp_…")
        return {}
    values = {}
    for key, node in root.value:
        name, line = key.value if isinstance(key, ScalarNode) else "a list", key.start_mark.line + 1
        items = node.value if isinstance(node, SequenceNode) else [node]
        if name in values:
            problems.append(f"{name} is set twice, the second time in line {line}")
        elif not all(isinstance(item, ScalarNode) for item in items):
            problems.append(f"{name} must be text. Put | after the colon, and the JSON on the lines below, indented")
        elif any(re.match("!|.*:binary$", str(item.tag)) for item in items):
            problems.append(f"{name} has a tag of YAML in line {line}, such as !Ref: only text can be given")
        else:
            values[name] = ",".join("" if item.style is None and item.value in ("~", "null", "Null", "NULL") else item.value for item in items)
    return values


def from_command_line(text, problems):
    """NAME=VALUE …, as SAM reads it. What it does not understand it leaves out, such as the
    rest of a JSON value without quotes after its first space, and all of this form if there
    is one of the form ParameterKey=…"""
    rest = " " + text.strip()
    pattern = next((p for p in CfnParameterOverridesType.ordered_pattern_match if re.search(p, rest)), "$^")
    names = [match[0] for match in re.findall(pattern, rest)]
    rest = re.sub(pattern, "", rest).strip()
    if rest:
        problems.append(f"SAM would not read {rest!r} of PARAMETERS: put quotes around a value that is empty or has spaces or quotes in it, or use the file")
        return {}
    problems.extend(f"{name} is set twice in PARAMETERS" for name in sorted({name for name in names if names.count(name) > 1}))
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
        fraction = name in FRACTIONS
        if not re.fullmatch(r"(0|[1-9][0-9]*)" + (r"(\.[0-9]+)?" if fraction else ""), value):
            return f"{name} is {value!r}: it must be a {'number such as 80 or 0.5' if fraction else 'whole number such as 80'}, in plain digits"
        low, high = parameter["MinValue"], parameter["MaxValue"]
        return None if low <= float(value) <= high else f"{name} is {value}: it must be between {low} and {high}"
    if not re.fullmatch(parameter.get("AllowedPattern", "(?s:.*)"), value):
        return f"{name} is {value!r}: it {parameter.get('ConstraintDescription', 'must match ' + str(parameter.get('AllowedPattern')))}"
    size = len(value.encode())  # not characters: the limits are those of a function's environment
    if size > parameter.get("MaxLength", 4096):
        return f"{name} has {size} bytes: it can have {parameter.get('MaxLength', 4096)}"
    if name == "Routes" and value.strip():
        try:
            routes = json.loads(value)
        except ValueError as err:
            return f"Routes is no JSON: {err}"
        if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
            return 'Routes must be a JSON array of objects, such as [{"name": "invoices", "prefix": "invoices/", "processor": "dp_…"}]'
    return None


def quoted(value):
    """A value that SAM reads back as it is. It takes a pair of quotes away, and backslashes
    before spaces and quotes, and of what is in a file it does so twice. YAML does not take
    every character as it is, and JSON's escapes are YAML's but for characters above U+FFFF."""
    for _ in range(2):
        value = '"' + re.sub(r"\\(?=[ \"'])", r"\\\\", value) + '"'
    return re.sub(r"[^ -~]", lambda m: f"\\U{ord(m[0]):08x}", json.dumps(value, ensure_ascii=False))


def write(environment, on_command_line):
    problems = []
    known = template_parameters()
    commands = samconfig(environment)
    path = pathlib.Path("parameters") / f"{environment}.yaml"
    values, source = {}, "make's command line"
    if path.exists():
        source = f"{path}, and make's command line"
        values = {name: str(p["Default"]) for name, p in known.items()}
        values.update(read_file(path, problems))
    elif environment != "default" and not on_command_line:
        problems.append(f"there is no {path}: copy parameters/example.yaml")
    for other in (path.with_suffix(".yml"), path.with_suffix(".json"), path.with_suffix(".toml")):
        if other.exists():
            problems.append(f"{other} is not read: move what is in it to {path}")
    for command, settings in commands.items():
        if "parameter_overrides" in settings.get("parameters", {}):
            problems.append(f"samconfig.toml has parameter_overrides under {environment}.{command}, which are not read: move them to {path}")
    if on_command_line.strip():
        values.update(from_command_line(on_command_line, problems))
    stack = deploy_setting(commands, "stack_name")
    most = 56 if values.get("ExistingBucketName") else 72  # a rule and a queue are named after it
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", stack):
        problems.append(f"samconfig.toml: stack_name of {environment} is {stack!r}: it must be letters, digits and -, and begin with a letter")
    elif len(stack) > most:
        problems.append(f"samconfig.toml: stack_name {stack} has {len(stack)} characters: it can have {most}")
    values.setdefault("Architecture", str(known["Architecture"]["Default"]))  # what sam build takes
    for name, value in values.items():
        if name not in known:
            like = difflib.get_close_matches(name.lower(), [k.lower() for k in known], 1)
            meant = next((f": is it {k}?" for k in known if [k.lower()] == like), "")
            problems.append(f"{name} is no parameter of template.yaml{meant}")
        elif problem := check(name, value, known[name]):
            problems.append(problem)
    if problems:
        stop(problems, source)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("".join(f"{name}: {quoted(value)}\n" for name, value in values.items()), encoding="utf-8")


def stack(environment):
    commands = samconfig(environment)
    name = deploy_setting(commands, "stack_name")
    if not name:
        sys.exit(f"samconfig.toml has no stack_name under [{environment}.global.parameters]")
    options = [f"--{key}={deploy_setting(commands, key)}" for key in ("region", "profile") if deploy_setting(commands, key)]
    print(shlex.join([*options, name]))


def tags(environment):
    """The stack's tags: options on the command line would replace those of samconfig.toml."""
    own = deploy_setting(samconfig(environment), "tags")
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
    elif sys.argv[1:2] == ["stack"] and len(sys.argv) == 3:
        stack(sys.argv[2])
    elif sys.argv[1:2] == ["tags"] and len(sys.argv) == 3:
        tags(sys.argv[2])
    elif sys.argv[1:2] == ["narrow"] and len(sys.argv) == 3:
        narrow(sys.argv[2])
    else:
        sys.exit(__doc__)

"""Which judges are run on a service that is not ours, and why others not."""

import json

import judges
from report import Report

READ_ONLY = "it changes things; allow that with --allow-changes"
FLEET = "the fleet logs in for every request, so logins cannot be judged through it"


def judge(target, folder, args, say=print):
    """A report of all the judges that may run."""
    facts = target.facts()
    named = facts.get("Product") or facts.get("Vendor") or "a Redfish service"
    label = f"{named} at {target.host}"
    report = Report(f"Redfish conformance of {label}")
    report.target(label, facts)
    say(f"{label}: Redfish {facts.get('RedfishVersion', 'of no version')}")
    for judgement in run(target, facts, folder, args):
        say(f"  {judgement.judge}: {judgement.say()}")
        report.add(label, judgement)
    return report


def run(target, facts, folder, args):
    if "service" in args.only:
        yield judges.service(target, folder / "service", fetch=True)
    if "interop" in args.only:
        yield from interop(target, facts, folder, args)
    if "protocol" in args.only:
        yield protocol(target, folder, args)
    if "use-cases" in args.only:
        yield from use_cases(target, folder, args)


def interop(target, facts, folder, args):
    profiles = [(path.name, path) for path in args.profile]
    if not profiles:
        profiles = list(judges.profiles_of_others())
        if facts.get("Vendor") == "on-prem":
            profiles.append((judges.OURS.name, judges.OURS))
    for name, path in profiles:
        if path is None:
            yield judges.left_out(
                "interop", f"Profile {name}",
                f"there is no {judges.DATA / 'profiles' / name}; "
                "set ONPREM_REDFISH_DATA to the folder above profiles/",
            )
            continue
        try:
            yield judges.interop(target, folder / "interop" / path.stem, path)
        except (json.JSONDecodeError, KeyError) as error:
            yield judges.left_out(
                "interop", f"Profile {name}", f"it is no profile: {error!r}",
            )


def protocol(target, folder, args):
    if not args.allow_changes:
        return judges.left_out("protocol", "Protocol validator", READ_ONLY)
    if args.through_fleet:
        return judges.left_out("protocol", "Protocol validator", FLEET)
    return judges.protocol(target, folder / "protocol")


def use_cases(target, folder, args):
    name = "Use-case checkers"
    if not args.allow_changes:
        yield judges.left_out("use-cases", name, READ_ONLY)
        return
    cases = judges.QUIET_CASES
    if args.allow_resets:
        cases += judges.RESET_CASES
    yield judges.use_cases(target, folder / "use-cases", *cases)
    if not args.allow_resets:
        yield judges.left_out(
            "use-cases", "Use-case checkers, power and boot",
            "they reset the machine; allow that with --allow-resets",
        )

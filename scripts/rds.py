"""The security-group rule that lets one address in to the production database."""

import http.client
import ipaddress
from dataclasses import dataclass

from scripts import clients
from scripts.errors import DevError, UsageError
from scripts.targets import Aws

LOOKUP_SECONDS = 10
_GIVE_IT = "./invoke rds.update-sg-rule --ip ADDRESS"


@dataclass(frozen=True)
class Rule:
    """A security-group rule: whom it lets in to which ports, and its description."""

    id: str
    group: str
    protocol: str
    from_port: int
    to_port: int
    cidr: str
    description: str

    def __str__(self) -> str:
        ports = (
            f"{self.from_port}-{self.to_port}" if self.to_port > self.from_port else self.to_port
        )
        return f"{self.cidr} to {self.protocol} {ports} ({self.description or 'no description'})"


def parse_cidr(text: str) -> str:
    """The network of an address or CIDR block. Raises UsageError for another text, or for all."""
    hint = "./invoke rds.update-sg-rule --ip 203.0.113.7"
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError:
        raise UsageError(
            f"{text.strip()[:60] or 'an empty text'} is not an address", hint
        ) from None
    if network.prefixlen == 0 or network.is_unspecified:
        raise UsageError(f"{network} would allow every address", hint)
    return str(network)


def find_my_cidr(url: str) -> str:
    """The public address that the service at `url` returns. Raises DevError without one."""
    import urllib.request  # slow to import, and seldom needed

    try:
        with urllib.request.urlopen(url, timeout=LOOKUP_SECONDS) as answer:  # noqa: S310
            text = answer.read(200).decode("ascii", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise DevError(f"{url} does not return an address: {error}", _GIVE_IT) from None
    try:
        return parse_cidr(text)
    except UsageError as error:
        raise DevError(f"{url} does not return an address: {error.reason}", _GIVE_IT) from None


def get_rule(aws: Aws, group: str, rule: str) -> Rule:
    """The rule of a security group. Raises DevError where there is no such rule of that group."""
    if not group or not rule:
        raise DevError("DB_SG_ID or DB_SG_RULE_ID is not set", "set DB_SG_ID and DB_SG_RULE_ID")
    client = clients.ec2(aws)
    try:
        found = client.describe_security_group_rules(SecurityGroupRuleIds=[rule])
    except client.exceptions.ClientError as error:
        raise DevError(f"{rule} in {aws}: {error.response['Error'].get('Message')}") from None
    for answer in found["SecurityGroupRules"]:
        if answer["GroupId"] == group and not answer.get("IsEgress"):
            return Rule(
                id=rule,
                group=group,
                protocol=answer["IpProtocol"],
                from_port=answer.get("FromPort", 0),
                to_port=answer.get("ToPort", 0),
                cidr=answer.get("CidrIpv4") or answer.get("CidrIpv6") or "",
                description=answer.get("Description", ""),
            )
    raise DevError(f"{group} has no inbound rule {rule}", "check DB_SG_ID and DB_SG_RULE_ID")


def update_rule(aws: Aws, rule: Rule, cidr: str) -> Rule:
    """Let in `cidr` instead, all else of the rule as it was; the rule as it is then."""
    kind = "CidrIpv6" if ":" in cidr else "CidrIpv4"
    change = {
        "IpProtocol": rule.protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "Description": rule.description,
        kind: cidr,
    }
    clients.ec2(aws).modify_security_group_rules(
        GroupId=rule.group,
        SecurityGroupRules=[{"SecurityGroupRuleId": rule.id, "SecurityGroupRule": change}],
    )
    changed = get_rule(aws, rule.group, rule.id)
    if changed.cidr != cidr:
        raise DevError(f"the rule {rule.id} still allows {changed}", "try again")
    return changed

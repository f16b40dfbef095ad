"""rds: the production database's security group."""

from typing import Annotated

from scripts import stacks
from scripts.cli import output
from scripts.cli.values import Text
from scripts.tasks.kinds import STACK, Call, task


@task(STACK, help={"ip": "IP address or CIDR block to allow"})
def update_sg_rule(
    call: Call, ip: Annotated[str | None, Text("ADDRESS", unset="your public IP address")] = None
) -> None:
    """Allow your IP address in the security group."""
    from scripts import rds

    chosen = call.settings
    aws = stacks.get_aws(chosen)
    rule = rds.get_rule(aws, chosen.sg_id, chosen.sg_rule_id)
    cidr = rds.find_my_cidr(chosen.ip_lookup_url) if ip is None else rds.parse_cidr(ip)
    output.say(f"before: {rule}")
    if not call.would(f"allow {cidr} instead"):
        output.say(f"after:  {rds.update_rule(aws, rule, cidr)}")

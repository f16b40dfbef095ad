"""rds: the production database's security group."""

from scripts import stacks
from scripts.cli import output
from scripts.tasks.kinds import STACK, Call, task


@task(STACK, help={"ip": "the address to let in; my public one if not given"})
def update_sg_rule(call: Call, ip: str | None = None) -> None:
    """Let my address in to the database."""
    from scripts import rds

    chosen = call.settings
    aws = stacks.get_aws(chosen)
    rule = rds.get_rule(aws, chosen.sg_id, chosen.sg_rule_id)
    cidr = rds.find_my_cidr(chosen.ip_lookup_url) if ip is None else rds.parse_cidr(ip)
    output.say(f"before: {rule}")
    if not call.would(f"let in {cidr} instead"):
        output.say(f"after:  {rds.update_rule(aws, rule, cidr)}")

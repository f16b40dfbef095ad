"""The emulator's program: `scripts.stacks.embedded.emulator`, started by `aws_emulator`.

gate           which requests are answered at all, and to whom
services       the services and operations that are enabled
signature      the checkout's key, and the check of a request's signature
refusal        errors as AWS sends them
request        the head of a request
values         one form for equal numbers and equal binary values
item_log       items in a log on disk, written before a request is answered
pool_users     the users of Cognito's pools: their log, and who may change them
"""

"""DynamoDB: tables, items, and moving many of them.

browse         what the tables contain: keys, indexes, items in pages
tables         create from definitions, compare, drop, wait, scan
deletion       what forbids deleting a table, deletion protection, retries
batch_write    BatchWriteItem with retries until every item is acknowledged
bulk_load      stream any number of items into a table with several workers
parallel_scan  read a whole table in segments
backup         save a table to files and restore it
seed           write the items of seed files whose keys do not exist
s3             export items to S3, import a table from there (ImportTable)
json_lines     files of items as AWS exports them: DynamoDB JSON, one item per line
"""

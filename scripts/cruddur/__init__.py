"""What only Cruddur has: direct messages in one DynamoDB table.

messages           the access patterns: list, read and send messages, start a conversation
items              messages and conversations as values and as DynamoDB items
conversation_file  the text files of conversations to seed
conversations      write and verify seeded conversations
"""

"""What many write instead of following: one process, one loop over the pages of a stream."""

import sys

import boto3

group, stream = sys.argv[1:]
logs = boto3.client("logs")
token = None
while True:
    more = {"nextToken": token} if token else {}
    page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **more)
    sys.stdout.writelines(event["message"] + "\n" for event in page["events"])
    if page["nextForwardToken"] == token:
        break
    token = page["nextForwardToken"]

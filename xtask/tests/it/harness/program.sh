#!/bin/sh
# Stands on a test's PATH under the name of a fake program and reads that program's script. It is in the repository and never
# written by a test: a file that was just written cannot be executed while a process that another test starts has it open.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
. "${0%/*}/../programs/${0##*/}"

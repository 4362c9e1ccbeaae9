# What differs between two runs of one command: times, ids, ports, random names. Blanks, too: the
# columns of a table are as wide as what stands in them.
s/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UID/g
s/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)/TIME/g
s/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ [+-][0-9]{4} [A-Z]+/TIME/g
s/(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? [0-9A-Za-z :,+-]*(20[0-9]{2})?[0-9: +-]*/TIME/g
s/("?resourceVersion"?: *)"?[0-9]+"?/\1N/g
s/("?ResourceVersion"?: *)"?[0-9]+"?/\1N/g
s/resourceVersion=[0-9]+/resourceVersion=N/g
s/\b10\.96\.[0-9]+\.[0-9]+\b/CLUSTER-IP/g
s/127\.0\.0\.1:[0-9]+/LOCAL/g
s/\[::1\]:[0-9]+/LOCAL/g
s/("?nodePort"?: *|:|NodePort: +<?[a-z]*>? +)3[0-2][0-9]{3}\b/\1NODE-PORT/g
s/-[bcdfghjklmnpqrstvwxz2-9]{5}\b/-RANDOM/g
s/Handling connection for [0-9]+/Handling connection/
s/-[0-9bcdf]{8,10}\b/-HASH/g
s/\(x[0-9]+ over [^)]*\)//g
s/\b([0-9]+(d|h|m|s|ms))+ ?(ago)?\b/AGE/g
s/<unknown>|<invalid>/AGE/g
s/\b(pod|container)(ID|Id)?: *[a-z]+:\/\/[^ ]*/ID/g
s/^[IWE][0-9]{4} [0-9:.]+ +[0-9]+ /LOG /
# kubectl 1.31 looks for a stream before it has made it; the first message is empty.
/Unknown stream id 1, discarding message/d
s/[ \t]+/ /g
s/ $//

"""What a finding means to somebody who does not know the judges."""

# Beginning of a message of the service or interop validator, in plain words.
CLASSES = {
    "Action URI": "A client that follows the action's target asks at an address the standard does not give it.",
    "Allowed Method": "The service offers a method that the schema rules out for this resource.",
    "Copyright Annotation": "Text of a mock-up is in the answer of a service.",
    "Comparison": "The value is not one that the profile asks for.",
    "Deprecated Property": "The property is on its way out; newer clients look for its successor.",
    "Deprecated URI": "The address is on its way out.",
    "Deprecated Value": "The value is on its way out.",
    "Disallowed Resource": "The profile rules this resource out.",
    "Empty String": "There is a property and nothing in it; it is better left out.",
    "Invalid Identifier": "Id and address of the resource do not fit together, so clients cannot build one from the other.",
    "JSON Pointer": "A member of an array says a wrong place of itself.",
    "Min Count": "There are fewer than the profile asks for.",
    "Mockup Used": "The answer came from a file and not from the service.",
    "Null": "A client may take this property as never null (or a secret is shown).",
    "Numeric Range": "The number lies outside of what the schema allows.",
    "Object Type": "The object says to be of a type that cannot stand here.",
    "Property Requirements": "There should be an object here.",
    "Property Type": "Clients made from the schema fail on reading this value.",
    "Property Value": "Clients made from the schema do not know this value.",
    "Read Requirement": "The profile counts on this property; whoever relies on the profile misses it.",
    "Reference Object": "A link does not lead where the schema says.",
    "Replaced Property": "The older property is there, and its successor is not.",
    "Required Action": "The profile counts on this action; whoever relies on the profile misses it.",
    "Required Action Info": "What the action takes is not described.",
    "Required Property": "The schema says that this property is always there.",
    "Required Resource": "The profile counts on this resource; whoever relies on the profile misses it.",
    "Resource": "The resource could not be read: links to it lead nowhere, or its answer is no JSON object.",
    "Resource Capabilities": "The profile counts on making, changing or deleting these.",
    "Resource Version": "The resource is of an older version than the profile asks for.",
    "Schema": "The type is described nowhere, so no client can know what it means.",
    "Supported Values": "The profile counts on this value being accepted.",
    "Trailing Slash": "The address ends in a slash where it should not.",
    "Undefined URI": "The schema does not know resources of this type at this address.",
    "Unknown Property": "The schema does not know this property; it is misspelt, newer than said, or belongs under Oem.",
    "Unsupported Action": "The schema of this version does not know the action.",
    "Write Requirement": "The profile counts on changing this property.",
    "Write Requirement Property": "The profile counts on changing this property somewhere.",
}

# What a message of that beginning says should be.
RULES = {
    "Action URI": "the target is the resource's address, /Actions/ and the action's name",
    "Allowed Method": "Allow names only methods that the schema gives this resource",
    "Copyright Annotation": "no @Redfish.Copyright",
    "Comparison": "one of the values that the profile names",
    "Deprecated Property": "the property that took its place",
    "Deprecated URI": "the address that took its place",
    "Deprecated Value": "the value that took its place",
    "Disallowed Resource": "no such resource",
    "Empty String": "a text, or the property left out",
    "Invalid Identifier": "Id is the last segment of the address",
    "JSON Pointer": "a JSON pointer to the object itself",
    "Min Count": "as many members as the profile asks for",
    "Mockup Used": "an answer of the service",
    "Null": "a value (or null, where a secret may only be written)",
    "Numeric Range": "a number in the range of the schema",
    "Object Type": "an @odata.type that may stand here",
    "Property Requirements": "an object",
    "Property Type": "the type that the schema gives",
    "Property Value": "a value that the schema lists, or a text of the schema's pattern",
    "Read Requirement": "the property is there",
    "Reference Object": "a link that holds @odata.id only, and leads to a resource of the type",
    "Replaced Property": "the newer property",
    "Required Action": "the action is offered",
    "Required Action Info": "the action has @Redfish.ActionInfo",
    "Required Property": "the property is there",
    "Required Resource": "there is such a resource",
    "Resource": "status 200 and a JSON object",
    "Resource Capabilities": "Allow names the method",
    "Resource Version": "the version that the profile asks for, or newer",
    "Schema": "the type is described by a schema of DMTF's or of the service",
    "Supported Values": "the value is among the allowable ones",
    "Trailing Slash": "no slash at the end",
    "Undefined URI": "an address that the schema lists for the type",
    "Unknown Property": "only properties of the schema",
    "Unsupported Action": "only actions of the schema's version",
    "Write Requirement": "the property can be changed",
    "Write Requirement Property": "the property can be changed on some resource",
}

# Longest beginning of an assertion's name, in plain words.
ASSERTIONS = {
    "PROTO_ETAG": "Two people who change the same thing at once may lose one change without notice.",
    "PROTO_HTTP": "Clients use the methods of HTTP as the standard says, and get something else here.",
    "PROTO_JSON": "Clients cannot read the answer as JSON.",
    "PROTO_REDIRECT": "Plain HTTP may lead around the login.",
    "PROTO_STD": "Clients begin at fixed addresses, and do not find there what the standard says.",
    "PROTO_URI": "Addresses hold characters that clients and proxies treat differently.",
    "REQ_DELETE": "Deleting does not work as the standard says.",
    "REQ_GET": "Reading does not work as the standard says.",
    "REQ_HEAD": "HEAD does not work as the standard says.",
    "REQ_HEADERS": "A header that clients send is not understood.",
    "REQ_PATCH": "Changing does not work as the standard says; a client may believe something changed that did not.",
    "REQ_POST": "Making something new does not work as the standard says.",
    "REQ_QUERY": "Query parameters do not work as announced.",
    "RESP_HEADERS": "A header that clients rely on is missing or wrong.",
    "RESP_ODATA": "Generic OData clients do not find their way.",
    "RESP_STATUS": "A mistake is not told in the form clients can read.",
    "SEC_": "A door is open that should be shut, or a login does not work as the standard says.",
    "SERV_EVENT": "Event subscriptions do not work as the standard says.",
    "SERV_SSDP": "The service is not found on the network as the standard says.",
    "SERV_SSE": "The stream of events does not work as the standard says.",
}


def of_class(kind):
    return CLASSES.get(kind.rsplit(" ", 1)[0], "")


def rule(kind):
    return RULES.get(kind.rsplit(" ", 1)[0], "what the schema or the profile says")


def of_assertion(name):
    known = [it for it in ASSERTIONS if name.startswith(it)]
    return ASSERTIONS[max(known, key=len)] if known else ""

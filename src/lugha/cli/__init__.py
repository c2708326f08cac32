"""The command line: one small file for each verb, which parses, calls one function of the library, and prints."""

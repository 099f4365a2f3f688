"""Runs the shipped canary, its pods and its gates on real traffic, and says promote or roll back.

`argo` is pure: it starts nothing, reads nothing and knows no clock but the one it is handed.
`runtime` starts programs and reads files, and knows nothing of releases. The other rooms use both.
"""

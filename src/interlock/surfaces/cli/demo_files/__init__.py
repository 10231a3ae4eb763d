"""With which service, which file and which users is the demo made?"""

"""Features: tokens and frames -> numbers, in NumPy alone; what is made of the numbers is the business of inputs/.

Training, answering and an engine without torch read the same numbers from here.
"""

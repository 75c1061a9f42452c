"""The notebook: magics over a workbench. The only room that imports IPython."""

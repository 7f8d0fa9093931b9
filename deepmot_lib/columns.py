"""The columns of tables of boxes, and the range of what stands in them; nothing here loads torch."""

#: The columns of a box in every table of the library: left, top, right, bottom [px].
XYXY = ["x1", "y1", "x2", "y2"]
#: The columns of a box and whose it is.
TRACK_COLUMNS = ["frame", "id", *XYXY]
#: The columns of tracking results.
RESULT_COLUMNS = [*TRACK_COLUMNS, "conf"]
#: The columns of ground truth and detections.
COLUMNS = [*RESULT_COLUMNS, "cls", "visibility"]

#: The largest size of a coordinate [px] or of an embedding's feature: sums of squares still fit into float32.
LARGEST = 1e15

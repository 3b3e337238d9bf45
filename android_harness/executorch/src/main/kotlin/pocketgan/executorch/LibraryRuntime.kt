package pocketgan.executorch

import java.nio.ByteBuffer
import java.nio.file.Path
import org.pytorch.executorch.DType as LibraryType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.ExecuTorchRuntime
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor as LibraryTensor
import pocketgan.bundle.DType
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor

/** ExecuTorch's own classes. No code but theirs runs here, because it can be run on Android alone. */
internal class LibraryRuntime : ProgramRuntime {
    override fun start() {
        ExecuTorchRuntime.getRuntime()
    }

    override fun registeredBackends(): List<String> = ExecuTorchRuntime.getRegisteredBackends().toList()

    // Mapped: what a delegate copies for itself is not in memory twice.
    override fun open(file: Path, threads: Int): Program =
        LibraryProgram(Module.load("$file", Module.LOAD_MODE_MMAP, threads))
}

private class LibraryProgram(private val module: Module) : Program {
    override fun backends(): List<String> = module.getMethodMetadata(METHOD).backends.toList()

    override fun prepare() = module.loadMethod(METHOD)

    override fun forward(inputs: List<Tensor>): List<ProgramOutput> {
        val values = Array(inputs.size) { EValue.from(inLibrary(inputs[it])) }
        return module.forward(*values).map { output(it.toTensor()) }
    }

    override fun close() = module.close()

    /** The same memory. */
    private fun inLibrary(tensor: Tensor): LibraryTensor {
        val (data, shape) = tensor.data to tensor.shape
        // A view starts in big-endian order, whatever it is a view of.
        val view = data.duplicate().order(data.order())
        return when (tensor.dtype) {
            DType.FLOAT32 -> LibraryTensor.fromBlob(view.asFloatBuffer(), shape)
            DType.FLOAT16 -> LibraryTensor.fromBlob(view.asShortBuffer(), shape)
            DType.UINT8 -> LibraryTensor.fromBlobUnsigned(view, shape)
            DType.INT32 -> LibraryTensor.fromBlob(view.asIntBuffer(), shape)
            DType.INT64 -> LibraryTensor.fromBlob(view.asLongBuffer(), shape)
        }
    }

    private fun output(tensor: LibraryTensor): ProgramOutput = when (tensor.dtype()) {
        LibraryType.FLOAT -> output(DType.FLOAT32, tensor) { tensor.copyDataInto(it.asFloatBuffer()) }
        LibraryType.HALF -> output(DType.FLOAT16, tensor) { tensor.copyDataInto(it.asShortBuffer()) }
        LibraryType.UINT8 -> output(DType.UINT8, tensor) { tensor.copyDataIntoUnsigned(it) }
        LibraryType.INT32 -> output(DType.INT32, tensor) { tensor.copyDataInto(it.asIntBuffer()) }
        LibraryType.INT64 -> output(DType.INT64, tensor) { tensor.copyDataInto(it.asLongBuffer()) }
        else -> throw RefusedException("the model gives ${tensor.dtype()}, which no contract has")
    }

    private fun output(dtype: DType, tensor: LibraryTensor, copyTo: (ByteBuffer) -> Unit) =
        ProgramOutput(dtype, tensor.shape(), copyTo)
}
